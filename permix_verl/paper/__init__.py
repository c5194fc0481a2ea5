"""The paper's tables again: which arms and tasks each has, what they cost, and its rows beside the paper's."""
