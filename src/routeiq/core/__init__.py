"""The nouns and the ports of RouteIQ. Standard library only; everything else may import it, it imports nothing."""
