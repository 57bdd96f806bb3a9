"""3D Slicer without the Slicer application, for tests and pictures.

Slicer itself cannot be installed from a package index, its libraries can: ``slicer-core`` carries Slicer's own scene,
logics and displayable managers. This package puts round them what the application would:

- ``scene``: the scene, the application logic and the module logics, with ``slicer.app`` and ``slicer.modules``
- ``views``: slice and 3-D views drawn offscreen by Slicer's displayable managers, with mouse events
- ``pythonqt``: PySide6 made to answer as PythonQt, the Qt of Slicer, does
- ``widgets``: stand-ins of the qMRML and ctk widgets, working on the real scene
- ``slicer_python``: stand-ins of the Python modules of Slicer that ``slicer-core`` lacks
- ``host``: all of it started at once, ``module_loader``: a scripted module loaded into it

What is real and what is a stand-in decides what a test here proves: the scene, the logics, slicer.util, the views and
what happens in them on a mouse event are Slicer's own code; Qt's widgets are real but spoken to through PySide6; every
qMRML and ctk widget, and the Python modules in ``slicer_python``, are ours. ``slicer_qt_api.json`` beside the tests
holds them to the names that the real ones have.

``environment.prepare()`` comes before the first import of vtk or PySide6.
"""
