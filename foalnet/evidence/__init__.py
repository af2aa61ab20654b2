"""From predictions to a report that can be believed: scores, intervals, the page, the gate."""
