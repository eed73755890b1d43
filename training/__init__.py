"""Training of the CbLDM; imports the package, never the reverse."""
