"""Tables of a site, mapped to the public domain of a study."""
