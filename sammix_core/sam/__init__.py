"""Segment Anything backends behind one interface, and their encoder engines."""
