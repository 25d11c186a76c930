"""What a person runs: set everything up, execute the notebooks, write the address. Not part of an installation."""
