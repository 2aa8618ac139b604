"""Ultrasound: the tip of the needle on live B-mode images."""
