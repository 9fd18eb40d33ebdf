"""The two paths between hosts that a campaign compares."""

RAW, OVERLAY = PATHS = ('raw', 'overlay')
