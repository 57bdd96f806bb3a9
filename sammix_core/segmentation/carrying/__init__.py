"""Carries a correction of one slice to its neighbours.

What a person changed on a slice is looked for on the next one: the slice's own mask, with the change put in, goes
through the refiner, and near the change parts of its answer are taken over where the density goes on. The change of
that slice goes on to the next one in the same way, until none is left or a slice of the person's own comes.

How, and what it is worth: docs/decisions/carrying.md.
"""
