"""Values of the domain; imports nothing but the standard library."""
