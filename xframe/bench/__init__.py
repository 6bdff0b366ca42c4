"""What a loop costs per step."""
