"""What is fitted after training: findings, mask quality, out-of-distribution score."""
