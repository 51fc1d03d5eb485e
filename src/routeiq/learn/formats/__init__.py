"""Outcomes in other people's formats, read into the data folder that training takes; one file per format."""
