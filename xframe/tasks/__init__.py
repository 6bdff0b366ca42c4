"""What is computed: data, model, loss and optimizer, apart from any framework."""
