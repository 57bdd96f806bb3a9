"""How good each method is with 5 to 50 labelled slices of one patient."""
