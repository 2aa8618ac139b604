"""Runs Slicer module code without the Slicer application, for tests.

slicer-core supplies the real scene, nodes, logics and ``slicer.util``; the files here supply what
it lacks, each as small as the modules need it:

- ``boot``: puts everything together; start here
- ``application``: ``slicer.app`` and ``slicer.modules``
- ``modules``: loads a scripted module and its widget as Slicer would
- ``pythonqt``: ``qt``, which is PySide6 with PythonQt's manners
- ``ctk_standins``, ``qmrml_standins``, ``ui_loader``: widgets, and the .ui files that name them
- ``scripted_module``, ``parameter_node``, ``i18n``, ``packages``, ``sample_data``: Slicer's own
  Python files; ``slicer_checkout``: the first three as they are, where there is a checkout
- ``subject_hierarchy``: what Slicer's subject hierarchy does by itself when nodes come and go
- ``cmake_lists``: what the extension installs, and where
- ``needle_localization``, ``picture_localizer``: what the tests of that module share
- ``needle_tip_us``: what the tests of that module's process ask for
- ``scene_files``: scenes saved to and loaded from MRB
"""
