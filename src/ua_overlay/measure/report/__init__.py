"""From samples to figures and pages."""
