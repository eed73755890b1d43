"""How well CbLDM and the other systems do, on PDFs whose truth is known."""
