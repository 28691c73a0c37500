"""Stands in for the hub that pip.parse makes: packages come from the interpreter that runs."""

all_requirements = []
