"""The backend as a process of its own.

``protocol`` says what travels between the two sides, ``shared`` carries volumes and frames between
them, ``client`` is the side in the Slicer window, ``child`` the process it starts, ``server`` that
process' main program, ``inbox`` its waiting jobs, and ``work`` what it can be asked to do.
"""
