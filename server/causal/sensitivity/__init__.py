"""How much of an answer rests on what no data of the study can show."""
