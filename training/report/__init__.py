"""The page of the comparison, from the files that the comparison wrote."""
