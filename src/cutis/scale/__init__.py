"""The verbs' own functions placed on a Ray cluster; nothing else in Cutis imports Ray."""
