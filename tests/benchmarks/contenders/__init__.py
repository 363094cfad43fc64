"""Ways to score documents. Each module has prepare(workload, dtype), which gives a function from texts to scores."""
