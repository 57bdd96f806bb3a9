"""The logic of the panel, without Qt: each class has one job and reports changes through signals."""
