test_command() { :; }
