"""Jobs for other processes: `pool` has those of this machine; `workers` sends jobs and keeps their results in order."""
