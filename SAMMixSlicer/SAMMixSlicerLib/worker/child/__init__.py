"""What runs in the computing process. Nothing here is imported by the module; torch lives here alone."""
