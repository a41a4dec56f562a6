"""Everything that pretends to be hardware: recordings and synthetic hearts, straps, radio trouble, fleets."""
