"""What README and its sisters claim, held against the code."""
