"""What each line of a printed space says; `nasdsl.ir.reader` puts it together."""
