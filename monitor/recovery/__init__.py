"""What a monitor leaves on disk so that the next one goes on where a crash ended it: packets, and athletes' rows.

`monitor.recovery.folder` opens both, `monitor.recovery.resume` goes on from them.
"""
