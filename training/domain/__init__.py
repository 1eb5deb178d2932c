"""The nouns, names and rules of Rightmatch. Standard library and numpy only."""
