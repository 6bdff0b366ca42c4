"""What is computed: data, model, loss, optimizer and initial weights, independent of any framework."""
