"""Measurements of the overlay: campaigns, samples, reports. Nothing that a robot runs from day to day imports this."""
