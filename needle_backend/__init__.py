"""NeedleGuide's backend: finds needles in CT and ultrasound; imports neither slicer, qt nor ctk."""

__version__ = "0.1.0"
