"""How to learn: pure functions over torch, numpy and river; knows neither Kafka nor Redis."""
