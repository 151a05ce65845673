<?php
// The application behind php-fpm: what the other servers' applications answer, for the cases that reach PHP.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
header('Content-Type: text/plain');

function answer(string $body): void
{
    header('Content-Length: ' . strlen($body));
    echo $body;
}

switch ($path) {
    case '/small':
        answer("hello\n");
        break;
    case '/slow':
        usleep(600_000);
        answer("hello\n");
        break;
    case '/upload':
        answer(strlen(file_get_contents('php://input')) . "\n");
        break;
    case '/stream':
        for ($piece = 0; $piece < 20; $piece++) {
            echo str_repeat('s', 1 << 18);
            flush();
        }
        break;
    case '/file':
        $file = $_SERVER['FILE'];
        header('Content-Length: ' . filesize($file));
        readfile($file);
        break;
    case '/events':
        header('Content-Type: text/event-stream');
        for ($number = 1; $number <= 20; $number++) {
            echo "data: $number\n\n";
            flush();
            usleep(5_000);
        }
        break;
    default:
        http_response_code(404);
        answer("no such path\n");
}
