"""Measurements of the overlay: campaigns, samples, reports. The software of a robot in service never imports this."""
