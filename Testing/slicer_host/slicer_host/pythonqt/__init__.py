"""PySide6 made to answer as PythonQt, the Qt of Slicer's Python, does.

What differs between the two and is bridged here: a property is a value in PythonQt (``label.text``) and a method in
PySide6 (``label.text()``); signals are connected by signature (``button.connect("clicked()", f)``) and by object; an
object has ``name``, ``className()`` and ``delete()``. PythonQt has no ``Signal``, ``Slot`` and ``Property``, so the
module ``qt`` made here has none either, and code that needs them fails in a test and not first at a user's.
"""
