"""Over-the-counter care for what needs no doctor, from whoever runs a pharmacy."""
