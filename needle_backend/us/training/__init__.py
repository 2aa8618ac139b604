"""Making data for the ultrasound networks, training and judging them."""
