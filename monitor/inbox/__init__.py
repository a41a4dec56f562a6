"""The terminal inbox of a team physician: alarms, the strip that shows why, and an answer by keyboard."""
