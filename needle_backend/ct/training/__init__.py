"""CT training: simulate -> dataset -> train -> evaluate."""
