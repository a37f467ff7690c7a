"""What the verb `convert` knows of results folders of before."""
