"""What is told of flags by names and files alone, before anything heavy is loaded."""
