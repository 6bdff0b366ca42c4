"""What should happen: the training plan, its arithmetic, and the trainers' dialects."""
