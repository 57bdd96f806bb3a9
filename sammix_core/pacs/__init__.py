"""Finding, fetching and sending studies by DICOMweb. SAMMix is a client here and opens no port."""
