"""What CT and ultrasound share: needles, geometry, files, devices, weights, progress."""
