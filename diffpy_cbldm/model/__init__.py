"""The CbLDM networks and the diffusion; torch alone."""
