"""What the people of a site do at a terminal: the bodies of `concause site ...`."""
