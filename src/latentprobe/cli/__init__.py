"""The command line: argv to one library call to text. The only room that prints."""
